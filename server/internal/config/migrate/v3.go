package migrate

// fromV3 gives the keys of v3 the names of v4, and writes its permissions as those of v4.
func (m *migration) fromV3() {
	m.rename("client_anonymous", "allow_anonymous_connect_without_token")
	m.rename("websocket_ping_interval", "ping_interval")
	m.rename("redis_read_timeout", "redis_io_timeout")
	if v, ok := m.take("redis_write_timeout"); ok && !m.has("redis_io_timeout") {
		m.old["redis_io_timeout"] = v
	} else if ok {
		m.note(Dropped, v.origin, "engine.redis.io_timeout", "one time for reading and writing: that for reading is kept")
	}
	m.rename("presence_ttl", "global_presence_ttl")
	m.imply("client_stale_close_delay", "25s", "the default of v2 and v3; later versions have 10s")
	if m.usesHistory() && !m.has("history_meta_ttl") {
		m.note(Meaning, "", "channel.history_meta_ttl",
			"v2 and v3 kept the position of a stream without a limit; now it is kept for 30 days after the last use")
	}

	top := map[string]value{}
	for _, key := range channelOptionNames() {
		if v, ok := m.take(key); ok {
			top[key] = v
		}
	}
	permissionsOfV3(top)
	for key, v := range top {
		m.old[key] = v
	}
	for _, namespace := range objects(m.old["namespaces"].raw) {
		options := map[string]value{}
		for key, raw := range namespace {
			options[key] = value{raw, key}
			delete(namespace, key)
		}
		permissionsOfV3(options)
		for key, v := range options {
			namespace[key] = v // the origin is kept for the comments
		}
	}
	m.note(Meaning, "", "channel", "permissions are those that v3 gave: each is written out")
}

func (m *migration) usesHistory() bool {
	used := !isZero(m.old["history_size"].raw)
	for _, namespace := range objects(m.old["namespaces"].raw) {
		used = used || !isZero(namespace["history_size"])
	}
	return used
}

// permissionsOfV3 replaces the options of one set of channels by those of v4.
func permissionsOfV3(o map[string]value) {
	take := func(key string) (origin string, on bool) {
		v, ok := o[key]
		delete(o, key)
		return v.origin, ok && isTrue(v.raw)
	}
	renameOption := func(key, next string) {
		if v, ok := o[key]; ok {
			delete(o, key)
			o[next] = v
		}
	}
	allow := func(option, origin string) { o[option] = value{true, origin} }

	renameOption("history_lifetime", "history_ttl")
	renameOption("history_recover", "force_recovery")
	renameOption("recover", "force_recovery")
	renameOption("position", "force_positioning")
	renameOption("server_side", "protected")

	anonymousBy, anonymous := take("anonymous")
	if origin, protected := take("protected"); !protected {
		if origin == "" {
			origin = implied + "protected is not set"
		}
		allow("allow_subscribe_for_client", origin)
		if anonymous {
			allow("allow_subscribe_for_anonymous", anonymousBy)
		}
	}
	subscriberBy, subscriberOnly := take("subscribe_to_publish")
	if origin, publish := take("publish"); publish {
		if subscriberOnly {
			allow("allow_publish_for_subscriber", subscriberBy)
		} else {
			allow("allow_publish_for_client", origin)
		}
		if anonymous {
			allow("allow_publish_for_anonymous", anonymousBy)
		}
	}
	if _, disabled := take("presence_disable_for_client"); isTrue(o["presence"].raw) && !disabled {
		allow("allow_presence_for_subscriber", implied+"presence")
		if anonymous {
			allow("allow_presence_for_anonymous", anonymousBy)
		}
	}
	if _, disabled := take("history_disable_for_client"); !isZero(o["history_size"].raw) && !isZero(o["history_ttl"].raw) && !disabled {
		allow("allow_history_for_subscriber", implied+"history_size, history_ttl")
		if anonymous {
			allow("allow_history_for_anonymous", anonymousBy)
		}
	}
	if isTrue(o["join_leave"].raw) {
		allow("force_push_join_leave", implied+"join_leave")
	}
	allow("allow_user_limited_channels", implied+"they were always on")
}
