//! No text makes the language panic, hang or grow.

use proptest::prelude::*;

use super::*;

/// Reads, validates and evaluates whatever a text is.
fn everything(text: &str) {
    let Ok(template) = Template::read(text, &BTreeMap::new()) else { return };
    _ = validate::validate(&template, &Types);
    let parameters = template
        .parameters
        .iter()
        .map(|(name, p)| (name.clone(), parameters::value_of(&p.kind, p.default.as_deref().unwrap_or_default())))
        .collect();
    let Ok(conditions) = conditions::all(&template, &parameters, &pseudo()) else { return };
    _ = graph::dependencies(&template, &conditions);
    let pseudo = pseudo();
    let at = Evaluator::new(&template, &parameters, &conditions, &pseudo, &Known);
    for resource in template.resources.values() {
        _ = at.members(&resource.properties);
    }
}

/// A value out of functions, right and wrong.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        "[a-zA-Z0-9.${}!: ]{0,12}".prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        Just(json!("A")),
        Just(json!("C")),
    ];
    leaf.prop_recursive(4, 40, 4, |inner| {
        let names = prop::sample::select(vec![
            "Ref",
            "Fn::GetAtt",
            "Fn::Base64",
            "Fn::Cidr",
            "Fn::FindInMap",
            "Fn::GetAZs",
            "Fn::If",
            "Fn::ImportValue",
            "Fn::Join",
            "Fn::Select",
            "Fn::Split",
            "Fn::Sub",
            "Fn::Equals",
            "Fn::And",
            "Fn::Or",
            "Fn::Not",
            "Condition",
            "Fn::Length",
            "Fn::ToJsonString",
            "Fn::Transform",
            "Fn::ForEach::X",
            "k",
        ]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            (names.clone(), inner.clone()).prop_map(|(name, value)| json!({name: value})),
            (names, prop::collection::vec(inner, 0..4)).prop_map(|(name, items)| json!({name: items})),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_text_makes_it_panic(text in "(?s)[ -~\n\t&*!|>\\[\\]{}:,#-]{0,200}") {
        everything(&text);
        everything(&format!("Resources:\n  A:\n    Type: AWS::X\n    Properties: {text}\n"));
    }

    #[test]
    fn no_mix_of_functions_makes_it_panic(property in value(), condition in value(), extended in any::<bool>()) {
        let mut tree = json!({
            "Conditions": {"C": condition},
            "Resources": {"A": {"Type": "AWS::X", "Properties": {"P": property}}, "B": {"Type": "AWS::X"}},
        });
        if extended {
            tree["Transform"] = json!("AWS::LanguageExtensions");
        }
        everything(&tree.to_string());
    }

    #[test]
    fn json_is_read_as_it_was_written(property in value()) {
        let tree = json!({"Resources": {"A": {"Type": "AWS::X", "Properties": {"P": property}}}});
        prop_assert_eq!(parse::parse(&tree.to_string()).unwrap(), tree);
    }
}

#[test]
fn functions_that_double_a_text_again_and_again_are_stopped() {
    let mut value = json!("x".repeat(1000));
    for _ in 0..20 {
        value = json!({"Fn::Sub": ["${a}${a}", {"a": value}]});
    }
    let tree = json!({"Resources": {"R": {"Type": "AWS::X", "Properties": {"P": value}}}});
    assert!(property(&tree.to_string()).unwrap_err().contains("too large"));
}
