//! Access keys: who signed a request.
