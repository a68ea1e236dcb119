"""The service: shows what the judge decided about what the sandbox ran."""
