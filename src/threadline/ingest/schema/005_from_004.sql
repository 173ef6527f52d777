-- The field's words for what is left out and for what is set aside.
ALTER TABLE block RENAME COLUMN repeats TO duplicates;
ALTER TABLE dead_letters RENAME COLUMN letter_id TO dead_letter_id;
