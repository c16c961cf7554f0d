package api

import (
	"context"
	"errors"

	"centrifugo/server/internal/revocation"
)

// BlockUserRequest blocks a user.
type BlockUserRequest struct {
	// User is the ID of the user.
	User string `json:"user" required:"true"`
	// ExpireAt is the Unix time in seconds until which the user is blocked. Zero means
	// until unblock_user.
	ExpireAt int64 `json:"expire_at"`
}

// blockUser closes the connections of a user on all nodes with 3507 and refuses new ones.
func (c call) blockUser(ctx context.Context, req *BlockUserRequest) (EmptyResult, *Error) {
	return c.revoke(ctx, revocation.Entry{Kind: revocation.BlockUser, Key: req.User, ExpireAt: req.ExpireAt})
}

// UnblockUserRequest ends what block_user began.
type UnblockUserRequest struct {
	// User is the ID of the user.
	User string `json:"user" required:"true"`
}

// unblockUser succeeds also if the user is not blocked.
func (c call) unblockUser(ctx context.Context, req *UnblockUserRequest) (EmptyResult, *Error) {
	if c.revocations == nil {
		return EmptyResult{}, ErrorNotAvailable
	}
	return EmptyResult{}, c.revocationError(ctx, c.revocations.Remove(ctx, revocation.BlockUser, req.User))
}

// RevokeTokenRequest revokes one token.
type RevokeTokenRequest struct {
	// UID is the id of the token, its claim jti.
	UID string `json:"uid" required:"true"`
	// ExpireAt is the Unix time in seconds when the revocation may be forgotten, which is
	// best the claim exp of the token. Zero means never.
	ExpireAt int64 `json:"expire_at"`
}

// revokeToken closes the connections with a token with 3014, and ends the subscriptions
// with it.
func (c call) revokeToken(ctx context.Context, req *RevokeTokenRequest) (EmptyResult, *Error) {
	return c.revoke(ctx, revocation.Entry{Kind: revocation.RevokeToken, Key: req.UID, ExpireAt: req.ExpireAt})
}

// InvalidateUserTokensRequest revokes the tokens of a user that were issued before a time.
type InvalidateUserTokensRequest struct {
	// User is the ID of the user.
	User string `json:"user" required:"true"`
	// IssuedBefore is a Unix time in seconds that is compared with the claim iat of tokens. A
	// token without it counts as issued before. Zero means now, the current second
	// included.
	IssuedBefore int64 `json:"issued_before"`
	// ExpireAt is the Unix time in seconds when the revocation may be forgotten, which is
	// best when the last of those tokens expires. Zero means never.
	ExpireAt int64 `json:"expire_at"`
}

func (c call) invalidateUserTokens(ctx context.Context, req *InvalidateUserTokensRequest) (EmptyResult, *Error) {
	before := req.IssuedBefore
	if before == 0 && c.revocations != nil {
		before = c.revocations.Now().Unix() + 1
	}
	return c.revoke(ctx, revocation.Entry{Kind: revocation.InvalidateTokens, Key: req.User, IssuedBefore: before, ExpireAt: req.ExpireAt})
}

func (c call) revoke(ctx context.Context, e revocation.Entry) (EmptyResult, *Error) {
	if c.revocations == nil {
		return EmptyResult{}, ErrorNotAvailable
	}
	return EmptyResult{}, c.revocationError(ctx, c.revocations.Put(ctx, e))
}

func (c call) revocationError(ctx context.Context, err error) *Error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, revocation.ErrEntry):
		return badRequest(err)
	}
	return c.internal(ctx, "", err)
}
