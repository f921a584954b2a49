//! The policy document: AWS's grammar, and what a statement is about.
//!
//! Invariants:
//! - What is not understood is refused with its place: an element that nobody evaluates could be the one that denies.
//! - Every pattern, address, date and number is read here, once; evaluation meets no malformed one.

use std::collections::BTreeSet;

use crate::condition::Condition;
use crate::error::{PolicyError, Problem};
use crate::evaluate::Request;
use crate::node::Node;
use crate::pattern::{Case, Dialect, Pattern, Wildcards};
use crate::principal::Named;

/// What a service takes of the language. The language itself has no limits: start from [`Limits::NONE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Of the text, in bytes.
    pub bytes_max: usize,
    /// Statements in the document.
    pub statements_max: usize,
    /// Principals in all statements together.
    pub principals_max: usize,
    /// Conditions (an operator and a key) in all statements together.
    pub conditions_max: usize,
    /// Whether two statements may not have the same `Sid`.
    pub distinct_sids: bool,
}

impl Limits {
    /// No limits.
    pub const NONE: Self = Self {
        bytes_max: usize::MAX,
        statements_max: usize::MAX,
        principals_max: usize::MAX,
        conditions_max: usize::MAX,
        distinct_sids: false,
    };
}

/// What a policy is attached to, which says who and what its statements may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A queue, a bucket: statements name principals and resources.
    Resource,
    /// A role: it is itself the principal, so statements name resources only.
    Identity,
    /// A role's trust policy: it is itself the resource, so statements name principals only.
    Trust,
}

/// What a statement does to the requests that it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Allows them, unless another statement denies them.
    Allow,
    /// Denies them.
    Deny,
}

/// A parsed policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    id: Option<Box<str>>,
    statements: Vec<Statement>,
}

/// One statement.
#[derive(Clone, Debug, PartialEq)]
pub struct Statement {
    sid: Option<Box<str>>,
    effect: Effect,
    principals: Either<Named>,
    actions: Either<Written>,
    resources: Either<Written>,
    conditions: Vec<Condition>,
}

/// An element that comes as itself or as its `Not…`.
#[derive(Clone, Debug, PartialEq)]
struct Either<T> {
    negated: bool,
    values: Vec<T>,
}

impl<T> Either<T> {
    fn covers(&self, matches: impl FnMut(&T) -> bool) -> bool {
        self.values.iter().any(matches) != self.negated
    }
}

/// A pattern, and how the user wrote it.
#[derive(Clone, Debug, PartialEq)]
struct Written {
    text: Box<str>,
    pattern: Pattern,
}

/// The element that keeps a statement from being about a request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Mismatch<'a> {
    Principal,
    Action,
    Resource,
    Condition(&'a Condition),
}

impl Policy {
    /// Parses a policy of any size.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        Self::parse_within(text, &Limits::NONE)
    }

    /// Parses a policy that keeps within a service's limits.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn parse_within(text: &str, limits: &Limits) -> Result<Self, PolicyError> {
        Self::parse_kind(text, Kind::Resource, limits)
    }

    /// Parses a policy of a kind that keeps within limits.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn parse_kind(text: &str, kind: Kind, limits: &Limits) -> Result<Self, PolicyError> {
        at_most("bytes", text.len(), limits.bytes_max)?;
        let document = Node::parse(text)?;
        if !matches!(document, Node::Object(_)) {
            return Err(PolicyError::new(Problem::NotJson, ""));
        }
        let (mut dialect, mut id, mut statements) = (Dialect::Plain, None, None);
        for (name, node) in document.members("")? {
            match name.as_str() {
                "Version" => dialect = dialect_of(node)?,
                "Id" => id = Some(node.text("Id")?.into()),
                "Statement" => statements = Some(node),
                _ => return Err(PolicyError::new(Problem::UnknownField(name.clone()), "")),
            }
        }
        let statements = statements.ok_or_else(|| PolicyError::new(Problem::MissingField("Statement"), ""))?;
        let policy = Self { id, statements: parse_statements(statements, kind, dialect)? };
        policy.keep_within(limits)?;
        Ok(policy)
    }

    /// Its `Id`.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Its statements, in their order; at least one.
    pub fn statements(&self) -> &[Statement] {
        &self.statements
    }

    fn keep_within(&self, limits: &Limits) -> Result<(), PolicyError> {
        let sum = |count: fn(&Statement) -> usize| self.statements.iter().map(count).sum();
        at_most("statements", self.statements.len(), limits.statements_max)?;
        at_most("principals", sum(|statement| statement.principals.values.len()), limits.principals_max)?;
        at_most("conditions", sum(|statement| statement.conditions.len()), limits.conditions_max)?;
        if limits.distinct_sids {
            let mut seen = BTreeSet::new();
            let mut sids = self.statements.iter().filter_map(Statement::sid).filter(|sid| !sid.is_empty());
            if let Some(sid) = sids.find(|sid| !seen.insert(*sid)) {
                return Err(PolicyError::new(Problem::DuplicateSid(sid.to_owned()), "Statement"));
            }
        }
        Ok(())
    }
}

fn at_most(what: &'static str, count: usize, max: usize) -> Result<(), PolicyError> {
    if count > max { Err(PolicyError::new(Problem::TooMany { what, max }, "")) } else { Ok(()) }
}

fn dialect_of(node: &Node) -> Result<Dialect, PolicyError> {
    match node {
        Node::Text(text) if text == "2008-10-17" => Ok(Dialect::Plain),
        Node::Text(text) if text == "2012-10-17" => Ok(Dialect::WithVariables),
        _ => Err(PolicyError::new(Problem::InvalidVersion, "Version")),
    }
}

fn parse_statements(node: &Node, kind: Kind, dialect: Dialect) -> Result<Vec<Statement>, PolicyError> {
    let nodes = node.one_or_many();
    if nodes.is_empty() {
        return Err(PolicyError::new(Problem::NoStatements, "Statement"));
    }
    let place =
        |index| if matches!(node, Node::List(_)) { format!("Statement[{index}]") } else { "Statement".to_owned() };
    nodes.iter().enumerate().map(|(index, node)| Statement::parse(node, kind, dialect, &place(index))).collect()
}

impl Statement {
    fn parse(node: &Node, kind: Kind, dialect: Dialect, place: &str) -> Result<Self, PolicyError> {
        let members = node.members(place)?;
        if let Some((name, _)) = members.iter().find(|(name, _)| !ELEMENTS.contains(&name.as_str())) {
            return Err(PolicyError::new(Problem::UnknownField(name.clone()), place));
        }
        let find = |wanted: &str| members.iter().find(|(name, _)| name == wanted).map(|(_, node)| node);
        let missing = |name| PolicyError::new(Problem::MissingField(name), place);
        let sid = find("Sid").map(|node| node.text(&format!("{place}.Sid"))).transpose()?;
        let effect = effect_of(find("Effect").ok_or_else(|| missing("Effect"))?, place)?;
        let either = |name, not_name| match (find(name), find(not_name)) {
            (Some(_), Some(_)) => Err(PolicyError::new(Problem::Contradiction(name, not_name), place)),
            (Some(node), None) => Ok((false, node, format!("{place}.{name}"))),
            (None, Some(node)) => Ok((true, node, format!("{place}.{not_name}"))),
            (None, None) => Err(missing(name)),
        };
        let prohibited = |names: [&'static str; 2]| match names.into_iter().find(|name| find(name).is_some()) {
            Some(name) => Err(PolicyError::new(Problem::ProhibitedField(name), place)),
            None => Ok(()),
        };
        let principals = if kind == Kind::Identity {
            prohibited(["Principal", "NotPrincipal"])?;
            Either { negated: false, values: vec![Named::Everyone] }
        } else {
            let (negated, node, at) = either("Principal", "NotPrincipal")?;
            Either { negated, values: Named::parse_all(node, &at)? }
        };
        let (negated, node, at) = either("Action", "NotAction")?;
        let actions = Either { negated, values: written(node, &at, &Problem::InvalidAction, action_of)? };
        let resource = |text: &str| resource_of(text, dialect);
        let resources = if kind == Kind::Trust {
            prohibited(["Resource", "NotResource"])?;
            Either { negated: false, values: vec![Written { text: "*".into(), pattern: Pattern::wild("*") }] }
        } else {
            let (negated, node, at) = either("Resource", "NotResource")?;
            Either { negated, values: written(node, &at, &Problem::InvalidResource, resource)? }
        };
        let conditions = match find("Condition") {
            Some(node) => Condition::parse_all(node, dialect, &format!("{place}.Condition"))?,
            None => Vec::new(),
        };
        Ok(Self { sid: sid.map(Into::into), effect, principals, actions, resources, conditions })
    }

    /// Its `Sid`.
    pub fn sid(&self) -> Option<&str> {
        self.sid.as_deref()
    }

    /// Its `Effect`.
    pub fn effect(&self) -> Effect {
        self.effect
    }

    /// The values of `Action` or `NotAction`, as they were written.
    pub fn actions(&self) -> impl Iterator<Item = &str> {
        self.actions.values.iter().map(|action| &*action.text)
    }

    /// The values of `Resource` or `NotResource`, as they were written.
    pub fn resources(&self) -> impl Iterator<Item = &str> {
        self.resources.values.iter().map(|resource| &*resource.text)
    }

    pub(crate) fn conditions(&self) -> &[Condition] {
        &self.conditions
    }

    /// Whether it is about everyone, before its conditions.
    pub(crate) fn is_about_everyone(&self) -> bool {
        let anyone = |named: &Named| matches!(named, Named::Everyone | Named::Service(None));
        self.principals.negated || self.principals.values.iter().any(anyone)
    }

    /// What keeps it from being about `request`; `None` if nothing does.
    pub(crate) fn mismatch(&self, request: &Request<'_>) -> Option<Mismatch<'_>> {
        let action = |action: &Written| action.pattern.matches(request.action, Case::Ignored, request);
        let resource = |resource: &Written| resource.pattern.matches(request.resource, Case::Sensitive, request);
        // Of a resource that nobody knows, a deny may be meant, and an allow may not.
        let any_resource = !request.resource_is_known && self.effect == Effect::Deny;
        if !self.principals.covers(|named| named.covers(&request.principal)) {
            return Some(Mismatch::Principal);
        }
        if !self.actions.covers(action) {
            return Some(Mismatch::Action);
        }
        if !any_resource && !self.resources.covers(resource) {
            return Some(Mismatch::Resource);
        }
        self.conditions.iter().find(|condition| !condition.holds(request)).map(Mismatch::Condition)
    }
}

const ELEMENTS: [&str; 9] =
    ["Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition"];

fn effect_of(node: &Node, place: &str) -> Result<Effect, PolicyError> {
    let place = format!("{place}.Effect");
    match node.text(&place)? {
        "Allow" => Ok(Effect::Allow),
        "Deny" => Ok(Effect::Deny),
        other => Err(PolicyError::new(Problem::InvalidEffect(other.to_owned()), place)),
    }
}

fn written(
    node: &Node,
    place: &str,
    problem: &Problem,
    compile: impl Fn(&str) -> Option<Pattern>,
) -> Result<Vec<Written>, PolicyError> {
    let invalid = || PolicyError::new(problem.clone(), place);
    let one = |node: &Node| match node {
        Node::Text(text) => {
            compile(text).map(|pattern| Written { text: text.as_str().into(), pattern }).ok_or_else(invalid)
        }
        _ => Err(invalid()),
    };
    let values: Vec<_> = node.one_or_many().iter().map(one).collect::<Result<_, _>>()?;
    if values.is_empty() { Err(invalid()) } else { Ok(values) }
}

/// `*`, or `service:Name` with wildcards in the name. Whether the service has such an action is for the service.
fn action_of(text: &str) -> Option<Pattern> {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'*' | b'?');
    let well_formed = text == "*"
        || text.split_once(':').is_some_and(|(service, name)| {
            let service_is_name =
                service == "*" || service.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
            !service.is_empty() && service_is_name && !name.is_empty() && name.bytes().all(known)
        });
    well_formed.then(|| Pattern::wild(text))
}

/// `*`, or an ARN. AWS lets a `*` match beyond a colon, so it is one pattern, not six.
fn resource_of(text: &str, dialect: Dialect) -> Option<Pattern> {
    let well_formed = text == "*" || text.strip_prefix("arn:").is_some_and(|rest| !rest.is_empty());
    if well_formed { Pattern::compile(text, dialect, Wildcards::Yes) } else { None }
}
