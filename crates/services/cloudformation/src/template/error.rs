//! [`TemplateError`]: what is wrong with a template or its parameters, in CloudFormation's words.
//!
//! Invariant: a sentence here is shown to the client as it is; it names the value that is wrong, and never repeats the
//! value of a parameter that must not be echoed.
//!
//! Sentences follow what AWS answers where a record of it was found, and the style of those where none was.

/// Why a template, or what was given to it, is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TemplateError(String);

impl TemplateError {
    fn format(sentence: impl AsRef<str>) -> Self {
        Self(format!("Template format error: {}", sentence.as_ref()))
    }

    fn error(sentence: impl AsRef<str>) -> Self {
        Self(format!("Template error: {}", sentence.as_ref()))
    }

    // --- the document --------------------------------------------------------------------------------------------

    pub(crate) fn not_well_formed(language: &str, line: usize, column: usize) -> Self {
        Self::format(format!("{language} not well-formed. (line {line}, column {column})"))
    }

    pub(crate) fn duplicate_key(key: &str, line: usize, column: usize) -> Self {
        Self::format(format!("YAML not well-formed. The key '{key}' comes twice. (line {line}, column {column})"))
    }

    pub(crate) fn unsupported_tag(tag: &str, line: usize, column: usize) -> Self {
        Self::format(format!("YAML tag {tag} is not supported. (line {line}, column {column})"))
    }

    pub(crate) fn merge_key(line: usize, column: usize) -> Self {
        Self::format(format!("YAML hash merges are not supported. (line {line}, column {column})"))
    }

    pub(crate) fn too_many_values() -> Self {
        Self::format("The template, with its aliases written out, has too many values")
    }

    pub(crate) fn too_deep() -> Self {
        Self::format("The template's values are nested too deeply")
    }

    pub(crate) fn unsupported_structure() -> Self {
        Self::format("unsupported structure.")
    }

    pub(crate) fn key_is_no_string(path: &str) -> Self {
        Self::format(format!("[{path}] map keys must be strings; received a map instead"))
    }

    pub(crate) fn null(path: &str) -> Self {
        Self::format(format!("[{path}] 'null' values are not allowed in templates"))
    }

    pub(crate) fn must_be(path: &str, kind: &str) -> Self {
        Self::format(format!("[{path}] must be {kind}"))
    }

    // --- sections ------------------------------------------------------------------------------------------------

    pub(crate) fn no_resources() -> Self {
        Self::format("At least one Resources member must be defined.")
    }

    pub(crate) fn unknown_sections(names: &[&str]) -> Self {
        Self(format!("Invalid template property or properties [{}]", names.join(", ")))
    }

    pub(crate) fn unsupported_version(version: &str) -> Self {
        Self::format(format!("Unsupported AWSTemplateFormatVersion '{version}'; the only one is 2010-09-09."))
    }

    pub(crate) fn description_too_long(max: usize) -> Self {
        Self::format(format!("'Description' length is greater than {max}."))
    }

    pub(crate) fn name_not_alphanumeric(section: &str, name: &str) -> Self {
        let what = match section {
            "Resources" => "Resource",
            "Parameters" => "Parameter",
            "Outputs" => "Output",
            "Mappings" => "Mapping",
            _ => section,
        };
        Self::format(format!("{what} name {name} is non alphanumeric."))
    }

    pub(crate) fn too_many(section: &str, count: usize, max: usize) -> Self {
        Self::format(format!("Number of {section}, {count}, is greater than maximum allowed, {max}"))
    }

    pub(crate) fn member_without(section: &str, name: &str, member: &str) -> Self {
        Self::format(format!("[/{section}/{name}] Every {section} object must contain a {member} member."))
    }

    pub(crate) fn unknown_member(section: &str, member: &str) -> Self {
        let what = match section {
            "Resources" => "resource",
            "Parameters" => "parameter",
            "Outputs" => "output",
            other => other,
        };
        Self(format!("Invalid template {what} property '{member}'"))
    }

    pub(crate) fn mapping_attribute(name: &str, path: &str) -> Self {
        Self::format(format!("Every Mappings attribute must be a String or a List. ([/Mappings/{name}{path}])"))
    }

    pub(crate) fn policy_value(attribute: &str, value: &str) -> Self {
        Self::format(format!("Unrecognized {attribute} {value}"))
    }

    pub(crate) fn unknown_types(types: &[&str]) -> Self {
        Self::format(format!("Unrecognized resource types: [{}]", types.join(", ")))
    }

    pub(crate) fn malformed(path: &str, what: &str) -> Self {
        Self::format(format!("[{path}] {what}"))
    }

    // --- references ----------------------------------------------------------------------------------------------

    pub(crate) fn unresolved(names: &[&str], block: &str) -> Self {
        Self::format(format!(
            "Unresolved resource dependencies [{}] in the {block} block of the template",
            names.join(", ")
        ))
    }

    pub(crate) fn resource_in_conditions(names: &[&str]) -> Self {
        let names = names.join(", ");
        Self::format(format!(
            "Unresolved dependencies [{names}]. Cannot reference resources in the Conditions block of the template"
        ))
    }

    pub(crate) fn unresolved_condition(name: &str, place: &str) -> Self {
        Self::format(format!("Unresolved condition dependency {name} in the {place} block of the template"))
    }

    pub(crate) fn circular(names: &[&str]) -> Self {
        Self(format!("Circular dependency between resources: [{}]", names.join(", ")))
    }

    pub(crate) fn circular_conditions(names: &[&str]) -> Self {
        Self::format(format!("Circular dependency between conditions: [{}]", names.join(", ")))
    }

    pub(crate) fn unknown_attribute(resource: &str, attribute: &str) -> Self {
        Self::error(format!("resource {resource} does not support attribute type {attribute} in Fn::GetAtt"))
    }

    pub(crate) fn not_ready(name: &str) -> Self {
        Self::error(format!("resource {name} has no value yet"))
    }

    // --- functions -----------------------------------------------------------------------------------------------

    pub(crate) fn unknown_function(name: &str, supported: &[&str]) -> Self {
        let supported = supported.join(", ");
        Self::error(format!("Encountered unsupported function: {name} Supported functions are: [{supported}]"))
    }

    pub(crate) fn needs_language_extensions(name: &str) -> Self {
        Self::error(format!("{name} needs the transform AWS::LanguageExtensions in the template's Transform section"))
    }

    pub(crate) fn unknown_transform(name: &str) -> Self {
        Self(format!("No transform named {name} found."))
    }

    pub(crate) fn argument(function: &'static str) -> Self {
        Self::error(argument_rule(function))
    }

    pub(crate) fn condition_function(name: &str) -> Self {
        Self::error(format!(
            "{name} cannot stand in a condition; conditions are made of Fn::And, Fn::Equals, Fn::Not, Fn::Or and Condition"
        ))
    }

    pub(crate) fn select_index(index: i64) -> Self {
        Self::error(format!("Fn::Select cannot select nonexistent value at index {index}"))
    }

    pub(crate) fn select_null(index: i64) -> Self {
        Self::error(format!("Fn::Select cannot select null values at index {index}"))
    }

    pub(crate) fn unknown_mapping(name: &str) -> Self {
        Self::error(format!("Mapping named '{name}' is not present in the 'Mappings' section of template."))
    }

    pub(crate) fn mapping_key(map: &str, key: &str, attribute: &str) -> Self {
        Self::error(format!("Unable to get mapping for {map}::{key}::{attribute}"))
    }

    pub(crate) fn sub_variable() -> Self {
        Self::error(
            "variable names in Fn::Sub syntax must contain only alphanumeric characters, underscores, periods, and colons",
        )
    }

    pub(crate) fn sub_value(name: &str) -> Self {
        Self::error(format!("Fn::Sub expression does not resolve to a string; variable {name}"))
    }

    pub(crate) fn no_zones(region: &str) -> Self {
        Self::error(format!("Fn::GetAZs knows no availability zones of region {region}"))
    }

    pub(crate) fn cidr(what: &str) -> Self {
        Self::error(format!("Fn::Cidr {what}"))
    }

    pub(crate) fn no_export(name: &str) -> Self {
        Self(format!("No export named {name} found."))
    }

    pub(crate) fn dynamic_reference(reference: &str) -> Self {
        Self(format!(
            "Dynamic reference {reference} cannot be resolved: only the services ssm and none else are known here"
        ))
    }

    pub(crate) fn output_is_no_string(name: &str) -> Self {
        Self::format(format!(
            "Output {name} is malformed. The Value field of every Outputs member must evaluate to a String."
        ))
    }

    pub(crate) fn export_is_no_string(name: &str) -> Self {
        Self::format(format!(
            "Output {name} is malformed. The Name field of every Export member must evaluate to a String."
        ))
    }

    pub(crate) fn result_too_large() -> Self {
        Self::error("the template's functions make a value that is too large")
    }

    pub(crate) fn for_each(name: &str, what: &str) -> Self {
        Self::error(format!("Fn::ForEach::{name} {what}"))
    }

    // --- parameters ----------------------------------------------------------------------------------------------

    pub(crate) fn unknown_parameter_type(kind: &str) -> Self {
        Self::format(format!("Unrecognized parameter type: {kind}"))
    }

    pub(crate) fn parameters_missing(names: &[&str]) -> Self {
        Self(format!("Parameters: [{}] must have values", names.join(", ")))
    }

    pub(crate) fn parameters_unknown(names: &[&str]) -> Self {
        Self(format!("Parameters: [{}] do not exist in the template", names.join(", ")))
    }

    pub(crate) fn parameter(name: &str, description: Option<&str>, rule: impl AsRef<str>) -> Self {
        match description {
            Some(description) => Self(format!("Parameter {name} failed to satisfy constraint: {description}")),
            None => Self(format!("Parameter '{name}' {}", rule.as_ref())),
        }
    }

    pub(crate) fn default_breaks_constraint(name: &str, rule: &str) -> Self {
        Self::format(format!("Default value of parameter '{name}' {rule}"))
    }

    pub(crate) fn bad_pattern(name: &str) -> Self {
        Self::format(format!(
            "AllowedPattern of parameter '{name}' is not a regular expression that is understood here"
        ))
    }

    pub(crate) fn no_previous_value(name: &str) -> Self {
        Self(format!(
            "Invalid input for parameter key {name}. Cannot specify usePreviousValue as true for a parameter key not in the previous template"
        ))
    }

    pub(crate) fn value_and_previous(name: &str) -> Self {
        Self(format!(
            "Invalid input for parameter key {name}. Cannot specify usePreviousValue as true and non empty value for a parameter"
        ))
    }

    pub(crate) fn rule_failed(descriptions: &[String]) -> Self {
        Self(format!("Template constraint failure: {}", descriptions.join("; ")))
    }
}

/// What a function wants, as AWS says it.
fn argument_rule(function: &'static str) -> String {
    let rule = match function {
        "Ref" => "All References must be of type string",
        "Condition" => "All Conditions must be of type string",
        "Fn::GetAtt" => {
            "every Fn::GetAtt object requires two non-empty parameters, the resource name and the resource attribute"
        }
        "Fn::Join" => {
            "every Fn::Join object requires two parameters, (1) a string delimiter and (2) a list of strings to be joined \
             or a function that returns a list of strings (such as Fn::GetAZs) to be joined."
        }
        "Fn::Split" => {
            "every Fn::Split object requires two parameters, (1) a string delimiter and (2) a string to be split or a \
             function that returns a string to be split."
        }
        "Fn::Select" => "Fn::Select requires a list argument with two elements: an integer index and a list",
        "Fn::Select index" => "Fn::Select requires a list argument with a valid index value as its first element",
        "Fn::FindInMap" => {
            "every Fn::FindInMap object requires three parameters, the map name, map key and the attribute for return value"
        }
        "Fn::Sub" => {
            "One or more Fn::Sub intrinsic functions don't specify expected arguments. Specify a string as first argument, \
             and an optional second argument to specify a mapping of values to replace in the string"
        }
        "Fn::If" => "Fn::If requires a list argument with three elements",
        "Fn::If condition" => "Fn::If requires a list argument with the first element being a condition",
        "Fn::Equals" => "Fn::Equals requires a list argument with two elements",
        "Fn::Not" => "Fn::Not requires a list argument with one element",
        "Fn::And" => "every Fn::And object requires a list of at least 2 and at most 10 boolean parameters.",
        "Fn::Or" => "every Fn::Or object requires a list of at least 2 and at most 10 boolean parameters.",
        "Fn::Cidr" => "every Fn::Cidr object requires two or three parameters, the ipBlock, the count and the cidrBits",
        "Fn::Transform" => "Fn::Transform is not supported: there are no macros here",
        other => return format!("every {other} object must have a String-typed value."),
    };
    rule.to_owned()
}
