//! One test a function.

use serde_json::{Value, json};

use super::{property, wrong};
use crate::template::{Template, validate};

const REST: &str = "
Parameters:
  Text: {Type: String, Default: hello}
  Number: {Type: Number, Default: 2}
  List: {Type: CommaDelimitedList, Default: 'a, b ,c'}
  Stage: {Type: String, Default: prod}
Mappings:
  Regions:
    eu-west-1: {Image: ami-1, Zones: [a, b]}
    us-east-1: {Image: ami-2}
Conditions:
  IsProd: !Equals [!Ref Stage, prod]
  IsTest: !Not [!Condition IsProd]
Resources:
  Queue: {Type: 'AWS::SQS::Queue'}
";

fn value(function: &str) -> Result<Option<Value>, String> {
    property(&format!("{REST}  R: {{Type: 'AWS::X', Properties: {{P: {function}}}}}\n"))
}

fn some(function: &str) -> Value {
    value(function).unwrap().unwrap()
}

fn error(function: &str) -> String {
    value(function).unwrap_err()
}

#[test]
fn ref_gives_parameters_resources_and_pseudo_parameters() {
    assert_eq!(some("!Ref Text"), "hello");
    assert_eq!(some("!Ref Number"), "2");
    assert_eq!(some("!Ref List"), json!(["a", "b", "c"]));
    assert_eq!(some("!Ref Queue"), "id-of-Queue");
    assert_eq!(some("!Ref 'AWS::AccountId'"), "123456789012");
    assert_eq!(some("!Ref 'AWS::Region'"), "eu-west-1");
    assert_eq!(some("!Ref 'AWS::Partition'"), "aws");
    assert_eq!(some("!Ref 'AWS::URLSuffix'"), "amazonaws.com");
    assert_eq!(some("!Ref 'AWS::StackName'"), "web");
    assert_eq!(some("!Ref 'AWS::StackId'"), "arn:aws:cloudformation:eu-west-1:123456789012:stack/web/1");
    assert_eq!(some("!Ref 'AWS::NotificationARNs'"), json!([]));
    assert_eq!(value("!Ref 'AWS::NoValue'"), Ok(None));
    assert_eq!(some("[1, !Ref 'AWS::NoValue', {a: !Ref 'AWS::NoValue', b: 2}]"), json!([1, {"b": 2}]));
    assert!(error("!Ref Nobody").contains("Unresolved resource dependencies [Nobody]"));
    assert_eq!(error("{Ref: [Text]}"), "Template error: All References must be of type string");
}

#[test]
fn get_att_gives_attributes_in_all_its_spellings() {
    assert_eq!(some("!GetAtt Queue.Arn"), "Queue.Arn");
    assert_eq!(some("{'Fn::GetAtt': [Queue, Arn]}"), "Queue.Arn");
    assert_eq!(some("{'Fn::GetAtt': Queue.Arn}"), "Queue.Arn");
    assert_eq!(some("{'Fn::GetAtt': [Queue, !Ref Text]}"), "Queue.hello");
    assert_eq!(some("!GetAtt Queue.Outputs.Url"), "Queue.Outputs.Url");
    assert!(error("!GetAtt Queue.None").contains("resource Queue does not support attribute type None in Fn::GetAtt"));
    assert!(error("!GetAtt [Queue, '']").contains("requires two non-empty parameters"));
    assert!(error("!GetAtt Queue").contains("requires two non-empty parameters"));
}

#[test]
fn base64_encodes() {
    assert_eq!(some("!Base64 '#!/bin/sh'"), "IyEvYmluL3No");
    assert_eq!(some("{'Fn::Base64': !Sub '${Text}'}"), "aGVsbG8=");
    assert_eq!(error("!Base64 [a]"), "Template error: every Fn::Base64 object must have a String-typed value.");
}

#[test]
fn cidr_cuts_blocks() {
    assert_eq!(some("!Cidr [10.0.0.0/16, 2, 8]"), json!(["10.0.0.0/24", "10.0.1.0/24"]));
    assert_eq!(some("!Select [1, !Cidr [10.0.0.0/24, !Ref Number, '6']]"), "10.0.0.64/26");
    assert!(error("!Cidr [10.0.0.0/24, 5, 7]").contains("Fn::Cidr cannot make 5 blocks"));
    assert!(error("!Cidr [10.0.0.0/24]").contains("every Fn::Cidr object requires"));
}

#[test]
fn find_in_map_looks_up_and_says_what_is_missing() {
    assert_eq!(some("!FindInMap [Regions, !Ref 'AWS::Region', Image]"), "ami-1");
    assert_eq!(some("!FindInMap [Regions, eu-west-1, Zones]"), json!(["a", "b"]));
    assert_eq!(
        error("!FindInMap [Regions, mars, Image]"),
        "Template error: Unable to get mapping for Regions::mars::Image"
    );
    assert!(error("!FindInMap [Nope, a, b]").contains("Mapping named 'Nope' is not present"));
    assert!(error("!FindInMap [Regions, a]").contains("requires three parameters"));
    let extended = |function: &str| {
        property(&format!(
            "Transform: AWS::LanguageExtensions\n{REST}  R: {{Type: 'AWS::X', Properties: {{P: {function}}}}}\n"
        ))
    };
    assert_eq!(extended("!FindInMap [Regions, mars, Image, {DefaultValue: ami-0}]"), Ok(Some(json!("ami-0"))));
    assert!(error("!FindInMap [Regions, mars, Image, {DefaultValue: ami-0}]").contains("AWS::LanguageExtensions"));
}

#[test]
fn get_azs_gives_the_regions_zones() {
    assert_eq!(some("!GetAZs ''"), json!(["eu-west-1a", "eu-west-1b"]));
    assert_eq!(some("!GetAZs {Ref: 'AWS::Region'}"), json!(["eu-west-1a", "eu-west-1b"]));
    assert_eq!(some("{'Fn::Select': ['0', {'Fn::GetAZs': ''}]}"), "eu-west-1a");
    assert!(error("!GetAZs mars").contains("mars"));
}

#[test]
fn if_gives_one_branch_and_never_looks_at_the_other() {
    assert_eq!(some("!If [IsProd, a, b]"), "a");
    assert_eq!(some("!If [IsTest, a, !Ref Text]"), "hello");
    assert_eq!(value("!If [IsTest, a, !Ref 'AWS::NoValue']"), Ok(None));
    assert_eq!(some("!If [IsProd, a, !FindInMap [Nope, a, b]]"), "a");
    assert!(error("!If [Nope, a, b]").contains("Unresolved condition dependency Nope"));
    assert!(error("!If [IsProd, a]").contains("Fn::If requires a list argument with three elements"));
    assert!(error("!If [[IsProd], a, b]").contains("first element being a condition"));
}

#[test]
fn import_value_gives_an_export() {
    assert_eq!(some("!ImportValue shared"), "exported");
    assert_eq!(some("{'Fn::ImportValue': !Join ['', [sha, red]]}"), "exported");
    assert_eq!(error("!ImportValue nothing"), "No export named nothing found.");
}

#[test]
fn join_joins_texts_and_lists_of_functions() {
    assert_eq!(some("!Join [':', [a, 1, true, !Ref Text]]"), "a:1:true:hello");
    assert_eq!(some("!Join ['-', !Ref List]"), "a-b-c");
    assert_eq!(some("!Join ['', [a, !Ref 'AWS::NoValue', b]]"), "ab");
    assert_eq!(some("!Join ['', !GetAtt Queue.List]"), "xy");
    for bad in ["!Join [',']", "!Join [[a], [b]]", "!Join [',', text]", "!Join [',', [[a]]]"] {
        assert!(error(bad).contains("every Fn::Join object requires two parameters"), "{bad}");
    }
}

#[test]
fn select_takes_by_index() {
    assert_eq!(some("!Select [1, [a, b]]"), "b");
    assert_eq!(some("!Select ['0', !Ref List]"), "a");
    assert_eq!(some("!Select [!Ref Number, !Ref List]"), "c");
    assert!(error("!Select [5, [a]]").contains("cannot select nonexistent value at index 5"));
    assert!(error("!Select [0, [!Ref 'AWS::NoValue']]").contains("cannot select null values at index 0"));
    assert!(error("!Select [-1, [a]]").contains("index -1"));
    assert!(error("!Select [x, [a]]").contains("valid index value"));
    assert!(error("!Select [0, a]").contains("two elements: an integer index and a list"));
}

#[test]
fn split_cuts_text() {
    assert_eq!(some("!Split ['|', 'a||b']"), json!(["a", "", "b"]));
    assert_eq!(some("!Select [0, !Split ['l', !Ref Text]]"), "he");
    assert!(error("!Split ['', a]").contains("every Fn::Split object requires"));
    assert!(error("!Split [',', [a]]").contains("every Fn::Split object requires"));
}

#[test]
fn sub_puts_values_into_text() {
    assert_eq!(
        some("!Sub 'a ${Text} ${AWS::Region} ${Queue} ${Queue.Arn}'"),
        "a hello eu-west-1 id-of-Queue Queue.Arn"
    );
    assert_eq!(some("!Sub ['${Own}/${Text}', {Own: !Ref Number}]"), "2/hello");
    assert_eq!(some("!Sub ['${Text}', {Text: mine}]"), "mine");
    assert_eq!(some("!Sub 'keep ${!Literal} and $PATH and ${ Text }'"), "keep ${Literal} and $PATH and hello");
    assert_eq!(some("!Sub 'open ${'"), "open ${");
    assert!(error("!Sub '${a-b}'").contains("variable names in Fn::Sub syntax must contain only"));
    assert!(error("!Sub '${List}'").contains("does not resolve to a string"));
    assert!(error("!Sub [a, b]").contains("don't specify expected arguments"));
    assert!(error("!Sub '${Nobody}'").contains("Unresolved resource dependencies [Nobody]"));
}

#[test]
fn length_and_to_json_string_need_the_language_extensions() {
    let extended = |function: &str| {
        property(&format!(
            "Transform: AWS::LanguageExtensions\n{REST}  R: {{Type: 'AWS::X', Properties: {{P: {function}}}}}\n"
        ))
    };
    assert_eq!(extended("{'Fn::Length': !Ref List}"), Ok(Some(json!(3))));
    assert_eq!(extended("{'Fn::ToJsonString': {a: !Ref Text}}"), Ok(Some(json!("{\"a\":\"hello\"}"))));
    assert!(error("{'Fn::Length': !Ref List}").contains("AWS::LanguageExtensions"));
    assert!(error("{'Fn::ToJsonString': {a: b}}").contains("AWS::LanguageExtensions"));
}

#[test]
fn transform_and_unknown_functions_are_refused() {
    assert!(error("{'Fn::Transform': {Name: x}}").contains("Fn::Transform is not supported"));
    assert!(
        error("{'Fn::Jion': [a]}").contains("Encountered unsupported function: Fn::Jion Supported functions are: [")
    );
    assert!(
        wrong(&format!("{REST}  R: {{Type: 'AWS::X', Properties: {{P: {{'Fn::Jion': a}}}}}}\n")).contains("Fn::Jion")
    );
    let sam = "Transform: AWS::Serverless-2016-10-31\nResources: {A: {Type: 'AWS::X'}}\n";
    assert_eq!(wrong(sam), "No transform named AWS::Serverless-2016-10-31 found.");
}

#[test]
fn for_each_is_written_out() {
    let text = "
Transform: AWS::LanguageExtensions
Parameters:
  Names: {Type: CommaDelimitedList, Default: 'orders,in-voices'}
Resources:
  Fn::ForEach::Queues:
    - Name
    - !Ref Names
    - Queue&{Name}:
        Type: AWS::SQS::Queue
        Properties:
          QueueName: !Sub 'my-${Name}'
          Tags: [{Key: n, Value: !Ref Name}]
  R: {Type: AWS::X, Properties: {P: !GetAtt Queueinvoices.Arn}}
";
    let template = super::template(text);
    let names: Vec<_> = template.resources.keys().map(String::as_str).collect();
    assert_eq!(names, ["Queueinvoices", "Queueorders", "R"]);
    let queue = &template.resources["Queueinvoices"];
    assert_eq!(queue.properties["Tags"], json!([{"Key": "n", "Value": "in-voices"}]));
    assert_eq!(queue.properties["QueueName"], "my-in-voices");
    assert_eq!(wrong(text), "nothing");
    assert!(wrong(&text.replace("!Ref Names", "!Ref Nobody")).contains("Fn::ForEach::Queues"));
    // While nothing is known of the parameters, a loop is gone through once.
    let open = text.replace(", Default: 'orders,in-voices'", "").replace("Queueinvoices", "QueueItem");
    assert!(wrong(&open).contains("Fn::ForEach::Queues needs a collection that is a list of strings"));
    let outline = Template::outline(&open).unwrap();
    assert_eq!(outline.resources.keys().collect::<Vec<_>>(), ["QueueItem", "R"]);
    validate::validate(&outline, &super::Types).unwrap();
    assert!(Template::outline(&open.replace("!Ref Names", "!Ref Nobody")).is_err());
}
