"""A door on this machine for programs in any language: OpenAI's interface here, verified services behind it."""
