"""Archives that are read where they lie, member by member: their directories, and an index of them that is kept."""
