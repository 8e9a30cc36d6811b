//! Kubernetes: rendering, applying, controllers.

pub mod render;
