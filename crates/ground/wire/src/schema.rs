//! Schemas: what an operation's input and output look like, as data that every codec reads.
//!
//! Invariants:
//! - A schema is `static` and generated; the index of a [`Member`] is its index in the generated `Value` impl.
//! - Names are resolved by codegen: a codec never has to know how a model spells its Query names.

/// One AWS service, as its protocols see it.
#[derive(Debug)]
pub struct Service {
    /// The name of Millpond's module for it: `sqs`.
    pub name: &'static str,
    /// What stands before `#` in the JSON protocols' `__type`: `com.amazonaws.sqs`.
    pub shape_namespace: &'static str,
    /// What stands before the dot in `X-Amz-Target`, `AmazonSQS`; `None` if AWS speaks no JSON for this service.
    pub target_prefix: Option<&'static str>,
    /// The `Version` that the Query protocol names.
    pub version: &'static str,
    /// The namespace of the Query protocol's XML.
    pub xml_namespace: &'static str,
    /// Which Query protocol the service speaks.
    pub dialect: Dialect,
    /// How the service words a request that breaks its model.
    pub violations: Violations,
    /// Every operation that Millpond has, by name.
    pub operations: &'static [&'static Operation],
}

impl Service {
    /// The operation of that name; names are case-sensitive, as on AWS.
    pub fn operation(&self, name: &str) -> Option<&'static Operation> {
        let found = self.operations.binary_search_by(|operation| operation.name.cmp(name));
        found.ok().map(|index| self.operations[index])
    }
}

/// Which of the two Query protocols a service speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Smithy's `awsQuery`: everybody's but EC2's.
    Aws,
    /// Smithy's `ec2Query`: the lists of a form are all flat, an answer stands in its root without a wrapper, a
    /// parameter that the operation doesn't know is refused.
    Ec2,
}

/// The sentence in which a service refuses a request that breaks its model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violations {
    /// `The request must contain the parameter QueueUrl.` Limits of length and range are the service's own business,
    /// because each has a sentence of its own: SQS.
    Parameter,
    /// `The request must contain the parameter GroupDescription`: EC2, without a full stop. Limits are its own
    /// business, too.
    Ec2,
    /// `1 validation error detected: Value null at 'stackName' failed to satisfy constraint: …`: STS, IAM,
    /// Elastic Load Balancing, CloudFormation, Auto Scaling.
    Constraint,
    /// The same sentences under the code of services that have always spoken JSON, `ValidationException`: Systems
    /// Manager.
    Exception,
    /// `Invalid parameter at 'repositoryName' failed to satisfy constraint: '…'`: ECR.
    Invalid,
}

/// One operation.
#[derive(Debug)]
pub struct Operation {
    /// The name, as `Action` and `X-Amz-Target` give it.
    pub name: &'static str,
    /// What goes in.
    pub input: &'static Structure,
    /// What comes out; `None` for an operation that answers with its success alone.
    pub output: Option<&'static Structure>,
    /// The element around the output in the Query protocol.
    pub result_wrapper: Option<&'static str>,
}

/// A structure's members.
#[derive(Debug)]
pub struct Structure {
    /// The name of the generated struct.
    pub name: &'static str,
    /// The members, in the order of the generated struct's fields.
    pub members: &'static [Member],
}

/// One member of a structure.
#[derive(Debug)]
pub struct Member {
    /// The model's name, which is JSON's.
    pub name: &'static str,
    /// The name in a form.
    pub query_name: &'static str,
    /// The name in XML; `awsQuery` has the same in both, `ec2Query` has `VpcId` in forms and `vpcId` in XML.
    pub xml_name: &'static str,
    /// Whether a request without it is refused.
    pub required: bool,
    /// Whether its value is a secret, which no message repeats.
    pub sensitive: bool,
    /// What it holds.
    pub shape: Shape,
    /// What its value must keep.
    pub limits: Limits,
}

/// What a place in a document holds.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// Text.
    String,
    /// A whole number of 32 bits.
    Integer,
    /// A whole number of 64 bits.
    Long,
    /// A number with a fraction.
    Double,
    /// `true` or `false`.
    Boolean,
    /// Bytes; base64 on every wire.
    Blob,
    /// A moment: seconds since the epoch in JSON, ISO 8601 in Query.
    Timestamp,
    /// A structure.
    Structure(&'static Structure),
    /// A list.
    List(&'static List),
    /// A map; its keys are text.
    Map(&'static Map),
}

/// A list of one shape.
#[derive(Debug)]
pub struct List {
    /// What it holds.
    pub item: Shape,
    /// The element around each item (`member`); `None` for a flat list, whose items stand under the list's own name.
    pub item_name: Option<&'static str>,
    /// Whether an empty one is written: some services answer `<Instances/>`, some nothing.
    pub written_empty: bool,
}

/// A map from text to one shape.
#[derive(Debug)]
pub struct Map {
    /// What a key maps to.
    pub value: Shape,
    /// The element around each pair (`entry`); `None` for a flat map, whose pairs stand under the map's own name.
    pub entry_name: Option<&'static str>,
    /// The key's name: `key`, or what the model says (`Name`).
    pub key_name: &'static str,
    /// The value's name: `value`, or what the model says (`Value`).
    pub value_name: &'static str,
}

/// What a member's value must keep. AWS counts the characters of a text, the bytes of a blob, the items of a list
/// and the pairs of a map.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The least length, or for a number the least value.
    pub min: Option<i64>,
    /// The greatest length, or for a number the greatest value.
    pub max: Option<i64>,
    /// The values that a text may have; empty for any.
    pub values: &'static [&'static str],
}

impl Limits {
    /// No limit.
    pub const NONE: Self = Self { min: None, max: None, values: &[] };
}
