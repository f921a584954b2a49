//! The 23 operations, each leading to the file that knows its subject.
//!
//! Invariant: what changes a queue goes through [`Sqs::to_the_end`]; what moves messages does not, for it must end
//! when its client does (a long poll that nobody waits for must lend nothing).

use api::Call;
use api::sqs::*;
use wire::ApiError;

use crate::service::Sqs;

impl api::sqs::Sqs for Sqs {
    async fn add_permission(&self, call: &Call, input: AddPermissionInput) -> Result<(), ApiError> {
        let (sqs, call) = (self.clone(), call.clone());
        self.to_the_end(async move { sqs.grant(call, input).await }).await
    }

    async fn cancel_message_move_task(
        &self,
        call: &Call,
        input: CancelMessageMoveTaskInput,
    ) -> Result<CancelMessageMoveTaskOutput, ApiError> {
        let (sqs, call) = (self.clone(), call.clone());
        self.to_the_end(async move { sqs.cancel_move(call, input).await }).await
    }

    async fn change_message_visibility(
        &self,
        call: &Call,
        input: ChangeMessageVisibilityInput,
    ) -> Result<(), ApiError> {
        self.change_visibility_one(call, input).await
    }

    async fn change_message_visibility_batch(
        &self,
        call: &Call,
        input: ChangeMessageVisibilityBatchInput,
    ) -> Result<ChangeMessageVisibilityBatchOutput, ApiError> {
        self.change_visibility_batch(call, input).await
    }

    async fn create_queue(&self, call: &Call, input: CreateQueueInput) -> Result<CreateQueueOutput, ApiError> {
        let (sqs, call) = (self.clone(), call.clone());
        self.to_the_end(async move { sqs.create(call, input).await }).await
    }

    async fn delete_message(&self, call: &Call, input: DeleteMessageInput) -> Result<(), ApiError> {
        self.delete_one(call, input).await
    }

    async fn delete_message_batch(
        &self,
        call: &Call,
        input: DeleteMessageBatchInput,
    ) -> Result<DeleteMessageBatchOutput, ApiError> {
        self.delete_batch(call, input).await
    }

    async fn delete_queue(&self, call: &Call, input: DeleteQueueInput) -> Result<(), ApiError> {
        let (sqs, call) = (self.clone(), call.clone());
        self.to_the_end(async move { sqs.delete(call, input).await }).await
    }

    async fn get_queue_attributes(
        &self,
        call: &Call,
        input: GetQueueAttributesInput,
    ) -> Result<GetQueueAttributesOutput, ApiError> {
        self.read_attributes(call, &input)
    }

    async fn get_queue_url(&self, call: &Call, input: GetQueueUrlInput) -> Result<GetQueueUrlOutput, ApiError> {
        self.url_of(call, &input)
    }

    async fn list_dead_letter_source_queues(
        &self,
        call: &Call,
        input: ListDeadLetterSourceQueuesInput,
    ) -> Result<ListDeadLetterSourceQueuesOutput, ApiError> {
        self.list_sources(call, &input)
    }

    async fn list_message_move_tasks(
        &self,
        call: &Call,
        input: ListMessageMoveTasksInput,
    ) -> Result<ListMessageMoveTasksOutput, ApiError> {
        self.list_moves(call, &input)
    }

    async fn list_queue_tags(&self, call: &Call, input: ListQueueTagsInput) -> Result<ListQueueTagsOutput, ApiError> {
        self.list_tags(call, &input)
    }

    async fn list_queues(&self, call: &Call, input: ListQueuesInput) -> Result<ListQueuesOutput, ApiError> {
        self.list(call, &input)
    }

    async fn purge_queue(&self, call: &Call, input: PurgeQueueInput) -> Result<(), ApiError> {
        self.purge(call, &input).await
    }

    async fn receive_message(&self, call: &Call, input: ReceiveMessageInput) -> Result<ReceiveMessageOutput, ApiError> {
        self.receive(call, input).await
    }

    async fn remove_permission(&self, call: &Call, input: RemovePermissionInput) -> Result<(), ApiError> {
        let (sqs, call) = (self.clone(), call.clone());
        self.to_the_end(async move { sqs.revoke(call, input).await }).await
    }

    async fn send_message(&self, call: &Call, input: SendMessageInput) -> Result<SendMessageOutput, ApiError> {
        self.send_one(call, input).await
    }

    async fn send_message_batch(
        &self,
        call: &Call,
        input: SendMessageBatchInput,
    ) -> Result<SendMessageBatchOutput, ApiError> {
        self.send_batch(call, input).await
    }

    async fn set_queue_attributes(&self, call: &Call, input: SetQueueAttributesInput) -> Result<(), ApiError> {
        let (sqs, call) = (self.clone(), call.clone());
        self.to_the_end(async move { sqs.set_attributes(call, input).await }).await
    }

    async fn start_message_move_task(
        &self,
        call: &Call,
        input: StartMessageMoveTaskInput,
    ) -> Result<StartMessageMoveTaskOutput, ApiError> {
        let (sqs, call) = (self.clone(), call.clone());
        self.to_the_end(async move { sqs.start_move(call, input).await }).await
    }

    async fn tag_queue(&self, call: &Call, input: TagQueueInput) -> Result<(), ApiError> {
        let (sqs, call) = (self.clone(), call.clone());
        self.to_the_end(async move { sqs.tag(call, input).await }).await
    }

    async fn untag_queue(&self, call: &Call, input: UntagQueueInput) -> Result<(), ApiError> {
        let (sqs, call) = (self.clone(), call.clone());
        self.to_the_end(async move { sqs.untag(call, input).await }).await
    }
}
