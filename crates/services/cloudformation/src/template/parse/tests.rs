//! What a text is read as, and which texts are refused.

use serde_json::json;

use super::*;

fn message(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

#[test]
fn json_and_yaml_give_the_same_tree() {
    let expected = json!({"Resources": {"Q": {"Type": "AWS::SQS::Queue", "Properties": {"DelaySeconds": 5}}}});
    assert_eq!(parse(&expected.to_string()).unwrap(), expected);
    let yaml = "Resources:\n  Q:\n    Type: AWS::SQS::Queue\n    Properties:\n      DelaySeconds: 5\n";
    assert_eq!(parse(yaml).unwrap(), expected);
    assert_eq!(parse(&format!("---\n# comment\n{yaml}...\n")).unwrap(), expected);
}

#[test]
fn every_short_form_becomes_its_long_form() {
    let yaml = "
a: !Ref Name
b: !GetAtt Queue.Arn
c: !GetAtt [Queue, Arn]
d: !GetAtt Nested.Outputs.Url
e: !Sub 'x ${y}'
f: !Sub ['${a}', {a: !Ref B}]
g: !If [C, !Ref A, !Ref 'AWS::NoValue']
h: !Join [',', [a, !Base64 b]]
i: !Not [!Condition C]
j: !Select [0, !Split [',', 'a,b']]
k: !FindInMap [M, !Ref K, v]
l: !ImportValue x
m: !GetAZs ''
n: !Cidr [10.0.0.0/16, 2, 8]
o: !Equals [a, b]
p: !Or [!Condition A, !And [!Condition B, !Condition C]]
";
    let expected = json!({
        "a": {"Ref": "Name"},
        "b": {"Fn::GetAtt": ["Queue", "Arn"]},
        "c": {"Fn::GetAtt": ["Queue", "Arn"]},
        "d": {"Fn::GetAtt": ["Nested", "Outputs.Url"]},
        "e": {"Fn::Sub": "x ${y}"},
        "f": {"Fn::Sub": ["${a}", {"a": {"Ref": "B"}}]},
        "g": {"Fn::If": ["C", {"Ref": "A"}, {"Ref": "AWS::NoValue"}]},
        "h": {"Fn::Join": [",", ["a", {"Fn::Base64": "b"}]]},
        "i": {"Fn::Not": [{"Condition": "C"}]},
        "j": {"Fn::Select": [0, {"Fn::Split": [",", "a,b"]}]},
        "k": {"Fn::FindInMap": ["M", {"Ref": "K"}, "v"]},
        "l": {"Fn::ImportValue": "x"},
        "m": {"Fn::GetAZs": ""},
        "n": {"Fn::Cidr": ["10.0.0.0/16", 2, 8]},
        "o": {"Fn::Equals": ["a", "b"]},
        "p": {"Fn::Or": [{"Condition": "A"}, {"Fn::And": [{"Condition": "B"}, {"Condition": "C"}]}]},
    });
    assert_eq!(parse(yaml).unwrap(), expected);
}

#[test]
fn a_scalar_keeps_what_was_written() {
    let yaml = "
number: 42
negative: -7
fraction: 1.5
octal: 0755
version: 1.10
account: 012345678901
date: 2010-09-09
quoted: '42'
yes: yes
off: off
exponent: 1e3
text: |
  two
  lines
folded: >-
  one
  line
forced: !!str 42
";
    let expected = json!({
        "number": 42, "negative": -7, "fraction": 1.5, "octal": "0755", "version": "1.10", "account": "012345678901",
        "date": "2010-09-09", "quoted": "42", "yes": true, "off": false, "exponent": "1e3", "text": "two\nlines\n",
        "folded": "one line", "forced": "42",
    });
    assert_eq!(parse(yaml).unwrap(), expected);
}

#[test]
fn anchors_are_written_out() {
    let yaml = "a: &tags\n  - k\n  - v\nb: *tags\nc: [*tags, *tags]\n";
    assert_eq!(parse(yaml).unwrap(), json!({"a": ["k", "v"], "b": ["k", "v"], "c": [["k", "v"], ["k", "v"]]}));
}

#[test]
fn an_alias_bomb_is_refused() {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let below = level - 1;
        bomb.push_str(&format!("a{level}: &a{level} [{}]\n", vec![format!("*a{below}"); 10].join(", ")));
    }
    assert!(message(&bomb).contains("too many values"));
    let deep = format!("a: {}{}", "[".repeat(5_000), "]".repeat(5_000));
    assert!(parse(&deep).is_err());
    assert!(parse(&format!("{{\"a\": {}1{}}}", "[".repeat(5_000), "]".repeat(5_000))).is_err());
    // Depth adds up through aliases as well.
    let mut tower = String::from("a0: &a0 [x]\n");
    for level in 1..=DEPTH_MAX {
        tower.push_str(&format!("a{level}: &a{level} [*a{}]\n", level - 1));
    }
    assert!(message(&tower).contains("nested too deeply"));
}

#[test]
fn what_is_no_template_is_refused_with_its_place() {
    assert_eq!(message("{\"Resources\": "), "Template format error: JSON not well-formed. (line 1, column 14)");
    assert!(message("a: b: c\n").starts_with("Template format error: YAML not well-formed. (line 1,"));
    assert!(message("a: 1\na: 2\n").contains("The key 'a' comes twice. (line 2, column 1)"));
    assert!(message("a: !Reff b\n").contains("YAML tag !Reff is not supported. (line 1"));
    assert!(message("a: !!binary aGk=\nb: *x\n").contains("YAML"));
    assert!(message("<<: {a: b}\n").contains("hash merges"));
    assert!(message("? [a, b]\n: c\n").contains("map keys must be strings"));
    for text in ["", "just text", "[a, b]", "- a\n- b\n"] {
        assert_eq!(message(text), "Template format error: unsupported structure.", "{text:?}");
    }
    assert_eq!(
        message("{\"Resources\": {\"A\": {\"Type\": null}}}"),
        "Template format error: [/Resources/A/Type] 'null' values are not allowed in templates"
    );
    assert!(parse("Parameters:\nResources: {A: {Type: B}}\n").is_ok(), "an empty section is no section");
}
