"""From a share link to sound files: download, check against the official SHA-256, unpack."""
