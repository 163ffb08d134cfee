"""Strategies compared over seeds at equal budgets."""
