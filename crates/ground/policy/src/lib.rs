//! The AWS policy language: parse, evaluate, explain. Pure.
