"""What the debug listener and the commands tell and do: for operators, never for clients."""
