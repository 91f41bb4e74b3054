"""Actions on users: request, plan, approval, execution, report."""
