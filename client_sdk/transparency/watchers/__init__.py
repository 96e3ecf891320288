"""Who watches a log that is another's: monitors read every entry, witnesses sign that it only grew."""
