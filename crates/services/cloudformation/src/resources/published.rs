//! Our property tables beside AWS's published resource schemas: a change replaces a resource here if it does there.
//!
//! Invariant: where a table says otherwise, the reason stands in [`DIFFERENCES`], and no reason outlives its difference.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::TYPES;
use super::property::Update;

/// What a schema says of one type.
#[derive(Deserialize)]
struct Published {
    /// Properties that cannot be changed: another resource takes the place of the one that is there.
    create_only: BTreeSet<String>,
    /// Properties that can be changed in some cases, and in others not.
    conditional: BTreeSet<String>,
}

/// Type, property, and why ours is not theirs.
const DIFFERENCES: &[(&str, &str, &str)] = &[
    (
        "AWS::AutoScaling::AutoScalingGroup",
        "LifecycleHookSpecificationList",
        "these hooks are there before the group's first instance; another list is another group",
    ),
    ("AWS::EC2::Instance", "IamInstanceProfile", "an instance has the profile that it was launched with"),
    ("AWS::EC2::LaunchTemplate", "TagSpecifications", "a template is tagged as it is made"),
    (
        "AWS::EC2::SubnetRouteTableAssociation",
        "RouteTableId",
        "ReplaceRouteTableAssociation does it in one call, so that the subnet is never without its table",
    ),
];

fn published() -> BTreeMap<String, Published> {
    serde_json::from_str(include_str!("../../testdata/create_only.json")).unwrap()
}

#[test]
fn a_change_replaces_what_it_replaces_on_aws() {
    let published = published();
    let mut unexplained = Vec::new();
    let mut explained = BTreeSet::new();
    for one in TYPES {
        let table = one.table();
        let Some(schema) = published.get(table.name) else {
            unexplained.push(format!("{}: add its schema's properties to testdata/create_only.json", table.name));
            continue;
        };
        for property in table.properties {
            let replaces = property.update == Update::Replacement;
            let may = schema.conditional.contains(property.name);
            if may || replaces == schema.create_only.contains(property.name) {
                continue;
            }
            let difference = (table.name, property.name);
            match DIFFERENCES.iter().find(|(kind, name, _)| (*kind, *name) == difference) {
                Some(_) => _ = explained.insert(difference),
                None => unexplained.push(format!("{} {}: we say {:?}", table.name, property.name, property.update)),
            }
        }
    }
    assert!(unexplained.is_empty(), "{}", unexplained.join("\n"));
    let stale: Vec<_> = DIFFERENCES.iter().filter(|(kind, name, _)| !explained.contains(&(*kind, *name))).collect();
    assert!(stale.is_empty(), "no longer different: {stale:?}");
}
