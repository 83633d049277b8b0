"""Pascal VOC: XML files, with or without lists of splits."""
