"""What the tests share: worlds, servers, expectations. No test module imports from another."""
