-- What a user has left behind in streams, to be found when they are erased.

CREATE INDEX activity_reaction_of ON activity_reaction (tenant, usr);
CREATE INDEX activity_mark_of ON activity_mark (tenant, usr);
