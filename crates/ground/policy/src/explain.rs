//! Why a policy says what it says, in one sentence for the log.
//!
//! Invariant: whatever users chose (Sids, names, ARNs) is quoted and escaped, so that one sentence stays one line.

use crate::document::{Mismatch, Policy, Statement};
use crate::evaluate::{Decision, Principal, Request};

impl Policy {
    /// Names the statement that decided: `statement "ReadOnly" (Statement[0]) allows it`.
    pub fn explain(&self, decision: &Decision) -> String {
        match *decision {
            Decision::ExplicitDeny { statement } => format!("{} denies it", self.name(statement)),
            Decision::Allow { statement } => format!("{} allows it", self.name(statement)),
            Decision::NoMatch => format!("none of the policy's {} statements is about it", self.statements().len()),
        }
    }

    /// Evaluates, and says who asked for what, which statement decided, and if none did, which came closest and what
    /// it lacked.
    pub fn explain_for(&self, request: &Request<'_>) -> String {
        let decision = self.evaluate(request);
        let closest = match decision {
            Decision::NoMatch => self.closest(request),
            _ => String::new(),
        };
        let (action, resource) = (request.action, request.resource);
        format!("{} asks for {action:?} on {resource:?}: {}{closest}", who(&request.principal), self.explain(&decision))
    }

    fn name(&self, index: usize) -> String {
        match self.statements().get(index).and_then(Statement::sid) {
            Some(sid) if !sid.is_empty() => format!("statement {sid:?} (Statement[{index}])"),
            _ => format!("Statement[{index}]"),
        }
    }

    fn closest(&self, request: &Request<'_>) -> String {
        let misses = self.statements().iter().enumerate();
        let misses = misses.filter_map(|(index, statement)| Some((index, statement.mismatch(request)?)));
        // The first of the farthest: max_by_key would take the last.
        let Some((index, mismatch)) = misses.rev().max_by_key(|(_, mismatch)| progress(mismatch)) else {
            return String::new();
        };
        let element = match mismatch {
            Mismatch::Principal => "Principal".to_owned(),
            Mismatch::Action => "Action".to_owned(),
            Mismatch::Resource => "Resource".to_owned(),
            Mismatch::Condition(condition) => format!("Condition on {:?}", condition.key()),
        };
        format!("; {} came closest, but its {element} does not match", self.name(index))
    }
}

/// How many elements matched before this one did not.
fn progress(mismatch: &Mismatch<'_>) -> u8 {
    match mismatch {
        Mismatch::Principal => 0,
        Mismatch::Action => 1,
        Mismatch::Resource => 2,
        Mismatch::Condition(_) => 3,
    }
}

fn who(principal: &Principal<'_>) -> String {
    match principal {
        Principal::Anonymous => "an anonymous caller".to_owned(),
        Principal::Account { arn: Some(arn), .. } => format!("{arn:?}"),
        Principal::Account { account, .. } => format!("account {account:?}"),
        Principal::Service { name } => format!("service {name:?}"),
    }
}
