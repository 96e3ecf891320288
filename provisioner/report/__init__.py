"""What is known against the packages of an image: from its bill of materials, a mirror, and a file that is given."""
