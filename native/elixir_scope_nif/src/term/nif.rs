//! [`Terms`](super::Terms) through the NIF interface alone: slower, and right on every VM.
