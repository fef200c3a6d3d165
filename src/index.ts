export { Indexed } from './indexed.ts'
export type {
  DocumentBody,
  DocumentContext,
  IndexedOptions,
  IndexedTarget,
  Mappings,
  Services,
} from './indexed.ts'
export { Redstream } from './redstream.ts'
export type { AttachOptions, RunningConsumer } from './redstream.ts'
export { defineConfig } from './runtime/config.ts'
export type { RedstreamConfig } from './runtime/config.ts'
export type { Settings, SettingsInput } from './runtime/settings.ts'
export type { DocumentOutcome, EventMap, Events, IndexStage } from './runtime/events.ts'
export type { Activity, Need, Progress, ProgressReport, Step } from './runtime/progress.ts'
export type { Logger } from './runtime/logger.ts'
export type { Worker, WorkerKind } from './runtime/worker.ts'
export type { CaptureMode } from './capture/modes.ts'
export type { DatabaseStep } from './capture/database-objects.ts'
export { outboxEntity } from './outbox/outbox-entity.ts'
export type { OutboxRow } from './outbox/outbox-entity.ts'
export type { OutboxStatus } from './outbox/queue.ts'
export { Producer } from './capture/producer.ts'
export type { RowProgress, WriteOptions, Written } from './capture/exact-writes.ts'
export type { BulkOptions, BulkProgress, Delayed, EntityOrId, MatchingOptions } from './capture/producer.ts'
export type { Where } from './capture/key-pages.ts'
export { Consumer } from './streams/consumer.ts'
export type { ConsumerOptions } from './streams/consumer.ts'
export { Delayer } from './streams/delayer.ts'
export type { DelayerOptions } from './streams/delayer.ts'
export type { TransactionState, TransactionStates, TransactionText } from './streams/transaction.ts'
export { Trimmer } from './streams/trimmer.ts'
export type { TrimmerOptions, TrimResult } from './streams/trimmer.ts'
export { RedisConnections } from './streams/connection.ts'
export type { RedisConnection } from './streams/connection.ts'
export { partitionsOf } from './streams/keys.ts'
export type { Lane, Partition, PartitionKeys } from './streams/keys.ts'
export type { Batch, BatchHandler, BatchResult } from './streams/batch.ts'
export type { Message } from './streams/message.ts'
export type { WaitOptions } from './streams/stream-writer.ts'
export type {
  GroupInspection,
  LaneInspection,
  LaneStatus,
  PartitionInspection,
  StreamStatus,
  WorkerStatus,
} from './streams/inspect.ts'
export type { PlanReport } from './sync/index-administration.ts'
export type { ElasticsearchConnection } from './indexing/elasticsearch-connection.ts'
export type { Status } from './sync/pipeline.ts'
export type { VerifyReport } from './verify/report.ts'
export type { WhyReport } from './verify/why.ts'
export { RedstreamError, errorCodes } from './errors.ts'
export type { ErrorCode } from './errors.ts'
