"""What is wrong with a copy: malformed entries, missing frames, masks on other frames than the files say."""
