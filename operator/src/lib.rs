//! Custom resources to running networks: plan, apply, controllers, the local runner
