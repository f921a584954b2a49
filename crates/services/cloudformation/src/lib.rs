//! CloudFormation: templates made real, and kept so.
