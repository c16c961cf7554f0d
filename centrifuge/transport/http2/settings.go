package http2

import "encoding/binary"

// Settings (RFC 9113 6.5.2, RFC 8441 3).
const (
	settingTableSize       = 0x1
	settingPush            = 0x2
	settingMaxStreams      = 0x3
	settingInitialWindow   = 0x4
	settingMaxFrame        = 0x5
	settingMaxHeaderList   = 0x6
	settingExtendedConnect = 0x8
)

const settingSize = 6

// tableSize is the initial size of the table of an encoder of header blocks, in bytes.
const tableSize = 4096

// opening returns the first frames of a server: its settings, and the window of the
// connection.
func (s *Server) opening() []byte {
	settings := []struct {
		id    uint16
		value uint32
	}{
		{settingMaxStreams, uint32(s.config.MaxStreams)},
		{settingMaxHeaderList, uint32(s.config.MaxHeaderBytes)},
		{settingExtendedConnect, 1},
	}
	if !s.config.ExtendedConnect {
		settings = settings[:2]
	}
	b := appendFrameHeader(nil, len(settings)*settingSize, kindSettings, 0, 0)
	for _, setting := range settings {
		b = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint16(b, setting.id), setting.value)
	}
	return appendWindowUpdate(b, 0, windowConn-windowStream)
}

// settings handles a SETTINGS frame.
func (c *conn) settings(f frame) error {
	switch {
	case f.stream != 0:
		return connError{codeProtocol, "SETTINGS for a stream"}
	case f.has(flagAck) && len(f.payload) == 0:
		return nil
	case f.has(flagAck) || len(f.payload)%settingSize != 0:
		return connError{codeFrameSize, "SETTINGS of a wrong size"}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for b := f.payload; len(b) > 0; b = b[settingSize:] {
		if err := c.setLocked(binary.BigEndian.Uint16(b), binary.BigEndian.Uint32(b[2:])); err != nil {
			return err
		}
	}
	c.replies = appendFrameHeader(c.replies, 0, kindSettings, flagAck, 0)
	return nil
}

// setLocked applies a setting of the client. A larger maximum of the frame size is not
// used, and headers are not limited to what the client advises.
func (c *conn) setLocked(id uint16, value uint32) error {
	switch id {
	case settingTableSize:
		// The encoder has no table. A smaller size must be acknowledged in the next block.
		c.tableReduced = c.tableReduced || value < tableSize
	case settingPush:
		if value > 1 {
			return connError{codeProtocol, "SETTINGS_ENABLE_PUSH is neither 0 nor 1"}
		}
	case settingInitialWindow:
		if value > maxWindow {
			return connError{codeFlowControl, "SETTINGS_INITIAL_WINDOW_SIZE is too large"}
		}
		change := int64(value) - c.initialWindow
		c.initialWindow = int64(value)
		for _, s := range c.streams {
			if s.window += change; s.window > maxWindow {
				return connError{codeFlowControl, "SETTINGS_INITIAL_WINDOW_SIZE makes a window too large"}
			}
		}
	case settingMaxFrame:
		if value < maxFrame || value >= 1<<24 {
			return connError{codeProtocol, "SETTINGS_MAX_FRAME_SIZE is out of range"}
		}
	}
	return nil
}
