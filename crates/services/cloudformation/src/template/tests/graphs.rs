//! Who needs whom.

use std::collections::BTreeMap;

use super::*;

fn needs(text: &str, conditions: &[(&str, bool)]) -> Result<BTreeMap<String, Vec<String>>, String> {
    let template = template(text);
    validate::validate(&template, &Types).map_err(|error| error.to_string())?;
    let conditions = conditions.iter().map(|(name, holds)| ((*name).to_owned(), *holds)).collect();
    let graph = graph::dependencies(&template, &conditions).map_err(|error| error.to_string())?;
    Ok(graph.into_iter().map(|(name, needs)| (name, needs.into_iter().collect())).collect())
}

#[test]
fn references_attributes_subs_and_depends_on_make_edges() {
    let graph = needs(
        "
Parameters: {P: {Type: String, Default: x}}
Resources:
  A: {Type: AWS::X}
  B: {Type: AWS::X, Properties: {x: !Ref A, y: !Ref P, z: !Ref 'AWS::Region'}}
  C: {Type: AWS::X, Properties: {x: [{y: !GetAtt B.Arn}]}}
  D: {Type: AWS::X, Properties: {x: !Sub 'a ${A} ${C.Arn} ${!B}'}}
  E: {Type: AWS::X, DependsOn: [A, D]}
  F: {Type: AWS::X, Metadata: {m: !Ref E}}
  G: {Type: AWS::X, Properties: {x: !Sub ['${v} ${A}', {v: !Ref B, A: literal}]}}
",
        &[],
    )
    .unwrap();
    let expected = [
        ("A", vec![]),
        ("B", vec!["A"]),
        ("C", vec!["B"]),
        ("D", vec!["A", "C"]),
        ("E", vec!["A", "D"]),
        ("F", vec!["E"]),
        ("G", vec!["B"]),
    ];
    for (name, needs) in expected {
        assert_eq!(graph[name], needs, "{name}");
    }
}

const CONDITIONAL: &str = "
Parameters: {P: {Type: String, Default: x}}
Conditions: {C: !Equals [!Ref P, x]}
Resources:
  A: {Type: AWS::X, Condition: C}
  B: {Type: AWS::X, DependsOn: A, Properties: {x: !If [C, !Ref A, none]}}
";

#[test]
fn a_condition_takes_its_resource_and_the_edges_to_it_away() {
    assert_eq!(needs(CONDITIONAL, &[("C", true)]).unwrap()["B"], ["A"]);
    let without = needs(CONDITIONAL, &[("C", false)]).unwrap();
    assert!(!without.contains_key("A"));
    assert!(without["B"].is_empty());
    let always = CONDITIONAL.replace("!If [C, !Ref A, none]", "!Ref A");
    let expected = "Template format error: Unresolved resource dependencies [A] in the Resources block of the template";
    assert_eq!(needs(&always, &[("C", false)]), Err(expected.into()));
}

#[test]
fn a_circle_is_named_without_those_who_hang_on_it() {
    let circle = "
Resources:
  Before: {Type: AWS::X}
  A: {Type: AWS::X, Properties: {x: !Ref B, y: !Ref Before}}
  B: {Type: AWS::X, DependsOn: C}
  C: {Type: AWS::X, Properties: {x: !GetAtt A.Arn}}
  After: {Type: AWS::X, Properties: {x: !Ref A}}
";
    assert_eq!(wrong(circle), "Circular dependency between resources: [A, B, C]");
    assert_eq!(
        wrong("Resources: {A: {Type: AWS::X, Properties: {x: !Ref A}}}\n"),
        "Circular dependency between resources: [A]"
    );
}

#[test]
fn names_that_nobody_has_are_refused_by_their_block() {
    let resources = "Resources: {A: {Type: AWS::X, Properties: {x: !Ref Nope, y: !GetAtt Gone.Arn}}}\n";
    assert_eq!(
        wrong(resources),
        "Template format error: Unresolved resource dependencies [Gone, Nope] in the Resources block of the template"
    );
    assert!(wrong("Resources: {A: {Type: AWS::X, DependsOn: Nope}}\n").contains("[Nope] in the Resources block"));
    let outputs = "Resources: {A: {Type: AWS::X}}\nOutputs: {O: {Value: !Ref Nope}}\n";
    assert!(wrong(outputs).contains("[Nope] in the Outputs block of the template"));
    let attribute = "Resources: {A: {Type: AWS::X}, B: {Type: AWS::X, Properties: {x: !GetAtt A.lower}}}\n";
    assert_eq!(wrong(attribute), "Template error: resource A does not support attribute type lower in Fn::GetAtt");
    assert!(
        wrong("Resources: {A: {Type: AWS::X, Condition: Nope}}\n").contains("Unresolved condition dependency Nope")
    );
}

#[test]
fn the_books_template_has_no_error_and_the_edges_that_it_should() {
    let text = include_str!("../../../testdata/loadbalancer.json");
    let graph = needs(text, &[]).unwrap();
    assert_eq!(graph.len(), 16);
    assert_eq!(graph["AutoScalingGroup"], ["LaunchConfiguration", "LoadBalancer", "Subnet", "VPCGatewayAttachment"]);
    assert_eq!(graph["RoutePublicNATToInternet"], ["InternetGateway", "RouteTable", "VPCGatewayAttachment"]);
    assert_eq!(graph["WebServerSecurityGroup"], ["LoadBalancerSecurityGroup", "VPC"]);
}
