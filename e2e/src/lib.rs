//! End-to-end tests: from kubectl apply to the retained JSON
