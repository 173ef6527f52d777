-- The log lets a block go once the store has it, so the store has to have it on disk.
ALTER TABLE events MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1;
ALTER TABLE links MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1;
ALTER TABLE visitor_touches MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1;
ALTER TABLE user_touches MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1;
ALTER TABLE event_ids MODIFY SETTING fsync_after_insert = 1, fsync_part_directory = 1;
