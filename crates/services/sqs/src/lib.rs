//! Amazon SQS over the queue engine.
