"""The Hub's wire language for gated repositories, spoken by both ends: values, not calls."""
