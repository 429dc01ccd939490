"""What is on disk and what it means: the files of a copy, their records, the masks of a video, the columns of a row."""
