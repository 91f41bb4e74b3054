"""The pages of the dashboard, one module each. No page knows another."""
