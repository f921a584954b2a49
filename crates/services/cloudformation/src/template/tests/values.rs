//! Conditions, rules and sections.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;

fn conditions_of(text: &str) -> BTreeMap<String, bool> {
    let template = template(&format!("{text}Resources: {{A: {{Type: AWS::X}}}}\n"));
    let parameters = template
        .parameters
        .iter()
        .map(|(name, p)| (name.clone(), parameters::value_of(&p.kind, p.default.as_deref().unwrap_or_default())))
        .collect();
    conditions::all(&template, &parameters, &pseudo()).unwrap()
}

#[test]
fn every_form_of_a_condition_has_its_truth() {
    let known = conditions_of(
        "
Parameters:
  Stage: {Type: String, Default: prod}
  Count: {Type: Number, Default: 1}
  List: {Type: CommaDelimitedList, Default: 'a,b'}
Mappings: {M: {prod: {Wide: true}}}
Conditions:
  Equal: !Equals [!Ref Stage, prod]
  Unequal: !Equals [!Ref Stage, dev]
  NumberAndText: !Equals [!Ref Count, 1]
  Lists: !Equals [!Ref List, [a, b]]
  Negated: !Not [!Condition Equal]
  Both: !And [!Condition Equal, !Equals [a, a]]
  NotBoth: !And [!Condition Equal, !Condition Unequal]
  Either: !Or [!Condition Unequal, !Condition Equal]
  Neither: !Or [!Condition Unequal, !Condition Negated]
  Alias: {Condition: Equal}
  Mapped: !Equals [!FindInMap [M, !Ref Stage, Wide], true]
  Joined: !Equals [!Join ['', [pr, od]], !Ref Stage]
  Nested: !Not [!Or [!Not [!Condition Equal], !Condition NotBoth]]
  Pseudo: !Equals [!Ref 'AWS::Region', eu-west-1]
  Branch: !Equals [!If [Equal, yes, no], yes]
",
    );
    let false_ones: Vec<_> = known.iter().filter(|(_, holds)| !**holds).map(|(name, _)| name.as_str()).collect();
    assert_eq!(false_ones, ["Negated", "Neither", "NotBoth", "Unequal"]);
    assert_eq!(known.len(), 15);
}

#[test]
fn conditions_that_cannot_be_are_refused() {
    let with =
        |condition: &str| wrong(&format!("Conditions: {{C: {condition}}}\nResources: {{A: {{Type: AWS::X}}}}\n"));
    assert!(
        with("!And [!Equals [a, b]]").contains("at least 2 and at most 10 boolean parameters") || {
            // The number of operands is looked at when the condition is evaluated.
            let template = template("Conditions: {C: !And [!Equals [a, b]]}\nResources: {A: {Type: AWS::X}}\n");
            let error = conditions::all(&template, &BTreeMap::new(), &pseudo()).unwrap_err();
            error.to_string().contains("every Fn::And object requires a list of at least 2 and at most 10")
        }
    );
    assert_eq!(
        with("!Equals [!Ref A, b]"),
        "Template format error: Unresolved dependencies [A]. Cannot reference resources in the Conditions block of the template"
    );
    assert!(with("!Not [!Condition Nope]").contains("Unresolved condition dependency Nope in the Conditions block"));
    assert!(with("!Join [a, [b]]").contains("Fn::Join cannot stand in a condition"));
    let circle =
        template("Conditions: {A: !Not [!Condition B], B: !Not [!Condition A]}\nResources: {A: {Type: AWS::X}}\n");
    let error = conditions::all(&circle, &BTreeMap::new(), &pseudo()).unwrap_err();
    assert!(error.to_string().contains("Circular dependency between conditions: [A, B]"));
}

#[test]
fn rules_hold_parameters_to_each_other() {
    let text = |version: &str| {
        format!(
            "
Parameters:
  BootstrapVersion: {{Type: String, Default: '{version}'}}
  Stage: {{Type: String, Default: prod}}
  Zones: {{Type: CommaDelimitedList, Default: 'a,a'}}
Rules:
  CheckBootstrapVersion:
    Assertions:
      - Assert: {{'Fn::Not': [{{'Fn::Contains': [['1', '2', '3', '4', '5'], !Ref BootstrapVersion]}}]}}
        AssertDescription: CDK bootstrap stack version 6 required.
  Never:
    RuleCondition: !Equals [!Ref Stage, dev]
    Assertions: [{{Assert: !Equals [a, b]}}]
  Members:
    Assertions:
      - Assert: {{'Fn::EachMemberEquals': [!Ref Zones, a]}}
      - Assert: {{'Fn::EachMemberIn': [!Ref Zones, [a, b]]}}
Resources: {{A: {{Type: AWS::X}}}}
"
        )
    };
    let outcome = |version: &str| {
        let template = template(&text(version));
        let parameters: BTreeMap<String, Value> = template
            .parameters
            .iter()
            .map(|(name, p)| (name.clone(), parameters::value_of(&p.kind, p.default.as_deref().unwrap())))
            .collect();
        check_rules(&template, &parameters, &BTreeMap::new(), &pseudo()).map_err(|error| error.to_string())
    };
    assert_eq!(outcome("21"), Ok(()));
    assert_eq!(outcome("5"), Err("Template constraint failure: CDK bootstrap stack version 6 required.".into()));
}

#[test]
fn sections_are_held_to_their_forms() {
    let rest = "Resources: {A: {Type: AWS::X}}\n";
    let cases = [
        ("Parameters: {}\n", "Template format error: At least one Resources member must be defined."),
        ("Resources: {}\n", "Template format error: At least one Resources member must be defined."),
        ("Resources: [a]\n", "Template format error: [/Resources] must be an object"),
        (
            "Resources: {A: {}}\n",
            "Template format error: [/Resources/A] Every Resources object must contain a Type member.",
        ),
        ("Resources: {A-B: {Type: AWS::X}}\n", "Template format error: Resource name A-B is non alphanumeric."),
        ("Resources: {A: {Type: AWS::X, Propertys: {}}}\n", "Invalid template resource property 'Propertys'"),
        (
            "Resources: {A: {Type: AWS::X, DeletionPolicy: Keep}}\n",
            "Template format error: Unrecognized DeletionPolicy Keep",
        ),
        (
            "Resources: {A: {Type: AWS::X, Properties: [a]}}\n",
            "Template format error: [/Resources/A/Properties] must be an object",
        ),
        (
            "Resources: {A: {Type: Foo::Bar}, B: {Type: Foo::Baz}}\n",
            "Template format error: Unrecognized resource types: [Foo::Bar, Foo::Baz]",
        ),
        ("Resourcez: {}\n", "Invalid template property or properties [Resourcez]"),
    ];
    for (text, expected) in cases {
        assert_eq!(wrong(text), expected, "{text}");
    }
    let with = |section: &str| wrong(&format!("{section}\n{rest}"));
    assert!(with("AWSTemplateFormatVersion: '2011-01-01'").contains("2011-01-01"));
    assert_eq!(with("AWSTemplateFormatVersion: 2010-09-09"), "nothing");
    assert!(with(&format!("Description: {}", "x".repeat(1025))).contains("'Description' length is greater than 1024."));
    assert!(with("Outputs: {O: {Description: x}}").contains("Every Outputs object must contain a Value member."));
    assert!(with("Mappings: {M: {k: {a: {b: c}}}}").contains("Every Mappings attribute must be a String or a List."));
    let many: String = (0..501).map(|n| format!("  R{n}: {{Type: AWS::X}}\n")).collect();
    let expected = "Template format error: Number of resources, 501, is greater than maximum allowed, 500";
    assert_eq!(wrong(&format!("Resources:\n{many}")), expected);
}

#[test]
fn custom_resources_may_have_a_version_and_others_not() {
    let with = |kind: &str| wrong(&format!("Resources: {{A: {{Type: '{kind}', Version: '1.0'}}}}\n"));
    assert_eq!(with("AWS::CloudFormation::CustomResource"), "nothing");
    assert_eq!(with("Custom::Thing"), "Template format error: Unrecognized resource types: [Custom::Thing]");
    assert_eq!(with("AWS::SQS::Queue"), "Invalid template resource property 'Version'");
}

#[test]
fn text_of_scalars_is_cloudformations() {
    let texts: Vec<_> = [json!("a"), json!(1), json!(1.5), json!(true)].iter().filter_map(text).collect();
    assert_eq!(texts, ["a", "1", "1.5", "true"]);
    assert_eq!(text(&json!([])), None);
}
