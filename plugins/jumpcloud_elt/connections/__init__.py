"""What a connection sees and may do: organizations, credential, capabilities, check."""
