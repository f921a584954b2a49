//! The AWS policy language: parse, evaluate, explain. Pure.
//!
//! Invariants:
//! - An explicit deny always wins; without a statement about a request, nothing is said.
//! - What is not understood is refused when a policy is set, with its place: nothing is skipped in silence.
//! - No input makes it panic, or take more than (size of the policy) x (size of the request) steps.
//!
//! Knows no service, no account and no owner: the caller combines a decision with whose the resource is, checks that
//! actions and resources are ones that the service has, and gives the values of condition keys.
//!
//! ```
//! use policy::{Decision, Policy, Principal, Request};
//! let policy = Policy::parse(r#"{"Statement": {
//!     "Sid": "Read", "Effect": "Allow", "Principal": "*", "Action": "s3:Get*", "Resource": "arn:aws:s3:::site/*"}}"#)?;
//! let request = Request::new(Principal::Anonymous, "s3:GetObject", "arn:aws:s3:::site/index.html");
//! let decision = policy.evaluate(&request);
//! assert_eq!(decision, Decision::Allow { statement: 0 });
//! assert_eq!(policy.explain(&decision), r#"statement "Read" (Statement[0]) allows it"#);
//! # Ok::<_, policy::PolicyError>(())
//! ```

mod condition;
mod date;
mod document;
mod edit;
mod error;
mod evaluate;
mod explain;
mod network;
mod node;
mod pattern;
mod principal;
mod public;

pub use document::{Effect, Kind, Limits, Policy, Statement};
pub use edit::{Document, NewStatement};
pub use error::{PolicyError, Problem};
pub use evaluate::{Decision, Principal, Request};
