//! The four custom resources of sotto.dev/v1alpha1
