"""The log on Apache Kafka, for many machines: topics are topics, partitions are partitions."""

from streams.logs.kafka.log import KafkaLog

__all__ = ["KafkaLog"]
