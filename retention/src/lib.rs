//! The retention process: a visible recipient that keeps clear text where its owner says
