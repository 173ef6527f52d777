-- By whose clocks days begin.
ALTER TABLE projects ADD COLUMN timezone TEXT;
