"""The only code of ours that runs beside contestant code. Nothing in here is trusted afterwards."""
