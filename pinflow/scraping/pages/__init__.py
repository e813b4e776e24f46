"""Page objects: pure functions from what a source answered to pins. No network, no files, no state."""
