"""What Docker says: the messages of a remote network driver, pure, without input or output."""
