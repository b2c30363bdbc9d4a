"""Reads workbooks of spreadsheets."""
