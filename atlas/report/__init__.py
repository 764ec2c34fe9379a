"""The report: a static site of an atlas that opens from the file system."""
