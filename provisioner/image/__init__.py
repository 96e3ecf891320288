"""The bake: pinned packages in, measured disks out."""
